"""What a user of dlka gets, written down; see __main__.py."""
