"""D-LKA in YOLOv8: the only folder below jobs that imports ultralytics.

The switches are read by ultralytics once, when it is imported: no network use, no installing of packages and no running
of pickled code by itself.
"""

import os

os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("YOLO_VERBOSE", "0")
