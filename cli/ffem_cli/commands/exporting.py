"""`ffem models export`: a flow for cameras that do not run torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffem_cli.output import Answer, Table
from ffem_cli.session import Session


def export(
    session: Session,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The flow, instead of the setting's.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights (safetensors) instead of --model.")
    ] = None,
    folder: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where the graphs go.")] = Path(),
) -> Answer:
    """Write a flow as two ONNX graphs, encoder and decoder, and compare both with torch in ONNX Runtime.

    Takes a minute or more. On the machine that runs a graph, TensorRT makes an engine of it: python -m
    ffem_chain.faces.flow.tensorrt GRAPH ENGINE
    """
    flow = session.model(weights, model)
    from ffem_chain.faces.flow import onnx

    with session.out.progress() as say:
        say(f"exporting {flow.name}", 0)
        graphs = onnx.export(flow, folder)
    data = {
        "model": flow.name,
        "model_id": flow.model_id,
        "graphs": [{"path": graph.path, "difference": graph.difference} for graph in graphs],
    }
    table = Table(("graph", "differs from torch by"), [(graph.path, f"{graph.difference:.1g}") for graph in graphs])
    return Answer(data, (table,))
