"""A command beside curator's own."""

import typer

app = typer.Typer()


@app.command()
def shouting(corpus: str = "corpus") -> None:
    """How much is shouted.

    Example: curator shouting --corpus ./corpus
    """
    import curator

    query = "SELECT count(*) FROM documents WHERE list_contains(reasons, 'shouting.shouting')"
    print(curator.open(corpus).sql(query).rows()[0][0])
