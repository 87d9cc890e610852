// After a turn to another step the reader, and the focus of the keyboard, are at its beginning.

const headingSeen = () => [...document.querySelectorAll(".learn-step h3")].find((heading) => heading.offsetParent);

document.addEventListener("click", (event) => {
  if (!element.isConnected || !event.target.closest(".learn-turn button, #lesson .step-button")) return;
  const before = headingSeen(), begin = performance.now();
  const look = () => {
    const now = headingSeen();
    if ((!now || now === before) && performance.now() - begin < 10000) return requestAnimationFrame(look);
    if (!now || now === before) return;
    now.tabIndex = -1;
    now.focus({ preventScroll: true });
    document.querySelector("#lesson").scrollIntoView();
  };
  look();
});
