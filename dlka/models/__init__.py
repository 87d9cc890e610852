"""D-LKA in YOLOv8: the only folder below jobs that imports ultralytics.

Strangers' checkpoints are read by `convert`, which runs nothing of them; their yamls by `yaml_file` and `doctor`.
"""
