"""The page "Learn": a lesson of seven steps, and a playground."""
