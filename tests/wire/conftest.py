from hypothesis import settings

# A time limit for each example says something of the machine's other load, and nothing of the code.
settings.register_profile("wire", deadline=None)
settings.load_profile("wire")
