"""An open-source device cloud, compatible on the wire with Particle's clients and Device OS firmware."""

__version__ = "0.1.0"
