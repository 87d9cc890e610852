"""D-LKA in YOLOv8: the only folder below jobs that imports ultralytics.

The switches are read by ultralytics once, when it is imported: no network use and no installing of packages by itself.
Its checkpoints are pickles; the project reads strangers' ones in `convert`, which runs nothing of them.
"""

import os

os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("YOLO_VERBOSE", "0")
