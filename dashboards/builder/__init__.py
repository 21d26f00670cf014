"""How a dashboard is made.

One module of `dashboards/boards` declares one, as a constant BOARD:

    from consumers.records.zoom import Meeting
    from dashboards.builder.aggregation import Aggregation, Is, Times, Top, count, total
    from dashboards.builder.board import Board, Chart, Control, Text

    BOARD = Board(
        name="meetings",                        # its file, and in its id
        title="Meetings",
        about="One sentence: the question that it answers.",
        rows=(                                  # from top to bottom; the widths of a row add up to 48
            (Text("Overview", width=48, height=3, markdown="..."),),
            (
                Chart("Meetings", "metric", width=12, height=6, about="For docs/dashboards.md.",
                      data=Aggregation(Meeting, (count("meetings"),))),
                Chart("Meetings by day", "bar", width=36, height=6, about="...",
                      data=Aggregation(Meeting, (count("meetings"),), (Top("host.host", "host", 5), Times("day")))),
            ),
        ),
        controls=(Control(Meeting, "host.host", "Host"),),
    )

`Aggregation(record, measures, buckets, where)` is said once. From it come the Lens state (lens.py), the request for
Elasticsearch (elastic.py) and the query for DuckDB (sql.py); a test runs both over one set of data and holds them equal.
Fields have the names of the document (docs/records.md). Buckets are nested in the order they stand in: what splits a chart
comes before its `Times`, so that the top ones are those of the whole time.

Measures: count, distinct, total, average, greatest, each with `where=` if wanted. Buckets: Times, Top, Ranges, Cases.
In a table `names=(Newest("topic", "topic"),)` says how each bucket is called, whatever it was called before.
Conditions (all of a tuple hold): Is, Known, AtLeast, Below, Not.
Panels: Text, Chart, and Rows (the newest documents themselves, of a `Listing`). Shapes of charts:
metric · bar, bar_stacked, bar_horizontal, line, area_stacked · pie, donut · table.

Then add the module's name to BOARDS in `dashboards/boards/__init__.py` and run `make docs`: it writes the NDJSON file and the
page docs/dashboards.md. `python -m tests.dashboards` draws the pictures anew.
"""
