"""Opening a tab of the page, on screens of any width."""

from __future__ import annotations


def open_tab(page, name):
    """Choose a tab where it stands: in the row, or in the menu of those that find no room there."""
    shown = page.get_by_role("tab", name=name, exact=True)
    if shown.count():
        shown.click()
    else:
        page.get_by_label("More tabs").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
