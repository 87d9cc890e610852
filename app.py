"""Start the page: python app.py"""

from dlka.ui.app import serve

if __name__ == "__main__":
    serve()
