"""Kibana's saved objects, one NDJSON file a dashboard: made by `make docs` from `dashboards/boards`, imported by `harvest setup`.

The files alone are installed with the product. `builder` and `boards` make, check and draw them in a checkout.
"""
