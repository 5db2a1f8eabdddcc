from hypothesis import settings

# A loaded machine is slow now and then: how long an example takes says nothing about the code.
settings.register_profile("ordinal", deadline=None)
settings.load_profile("ordinal")
