from hypothesis import settings

# On a loaded machine one example can take long, which says nothing about the code.
settings.register_profile("ordinal", deadline=None)
settings.load_profile("ordinal")
