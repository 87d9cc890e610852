"""Pictures that the project draws itself, with exact labels: what deformation is needed for is known in them."""
