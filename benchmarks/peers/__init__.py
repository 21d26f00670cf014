"""The consumer's work as other tools do it: each a program of its own, in the environment of requirements/peers.txt."""
