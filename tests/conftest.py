"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong: a property is judged by its outcome alone.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

pytest_plugins = ["tests.servers.fixtures", "tests.servers.order"]
