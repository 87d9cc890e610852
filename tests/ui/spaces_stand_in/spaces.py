"""Stands in for Hugging Face's package `spaces` on ZeroGPU: its one decorator. What it decorates runs in a forked
process, on pickled arguments, and gives back a pickle; an error comes back as gradio's, of which only the name is left.

Every call is written down: a line of JSON in the file that SPACES_CALLS names. While a file "full" lies beside it, no
GPU is free.
"""

import json
import multiprocessing
import os
import pickle
from pathlib import Path

import gradio as gr


def GPU(duration):
    """The decorator, as the page uses it."""

    def decorate(function):
        def run(*arguments):
            calls = Path(os.environ["SPACES_CALLS"])
            if calls.with_name("full").exists():
                raise gr.Error("No GPU was available")
            context = multiprocessing.get_context("fork")
            here, there = context.Pipe(duplex=False)
            sent = pickle.dumps(arguments)

            def work():
                try:
                    answer = pickle.dumps((True, function(*pickle.loads(sent))))
                except Exception as error:
                    answer = pickle.dumps((False, type(error).__name__))
                there.send_bytes(answer)

            process = context.Process(target=work)
            process.start()
            assert here.poll(duration), f"no answer within {duration} s"
            fine, answer = pickle.loads(here.recv_bytes())
            process.join()
            with calls.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"method": arguments[1], "file": Path(arguments[0]).name, "fine": fine}) + "\n")
            if not fine:
                raise gr.Error(answer)
            return answer

        return run

    return decorate
