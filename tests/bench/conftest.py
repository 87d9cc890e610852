"""The running page and the browser of the page's own tests."""

from tests.ui.conftest import browser, page, server

__all__ = ["browser", "page", "server"]
