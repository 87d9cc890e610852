"""D-LKA in YOLOv8: the lowest folder that imports ultralytics.

What strangers send is checked here: checkpoints by `checkpoint`, which runs nothing of them, yamls by `model_yaml` and
`yaml_lint`.
"""
