"""The page "Learn": a lesson of six steps, and a playground."""
