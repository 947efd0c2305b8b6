"""What all tests share."""

from hypothesis import HealthCheck, settings

# A slow machine is no bug: what bounds a property test is its number of examples.
settings.register_profile("toril", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("toril")
