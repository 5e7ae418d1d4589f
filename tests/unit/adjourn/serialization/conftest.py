from hypothesis import settings

# On a machine with other work, an example may take any time.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
