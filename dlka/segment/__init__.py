"""Pictures and volumes that networks of `dlka.nets` divide into parts: their files, training, judging, one file in."""
