"""YOLOv8 with Deformable Large Kernel Attention (D-LKA), and pictures of where it looks."""

__version__ = "0.1.0"
