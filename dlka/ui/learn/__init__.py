"""The page "Learn": a lesson of nine steps, a letter game and a playground."""
