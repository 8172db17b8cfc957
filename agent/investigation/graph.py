"""The graph of one feature's investigation: a table of nodes and edges.

Where a node decides what comes next, its return type lists where that can be, and the drawing shows it dashed.
"""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent.investigation.nodes import experiment, hypothesize, judge, measure, record
from agent.investigation.state import Context, FeatureState


def build_graph() -> CompiledStateGraph[FeatureState, Context, FeatureState, FeatureState]:
    """One feature: hypothesize, measure, experiment and judge until policy calls it settled; or judge at once."""
    return (
        StateGraph(FeatureState, context_schema=Context)
        .add_node(hypothesize)
        .add_node(measure)
        .add_node(experiment)
        .add_node(judge)
        .add_node(record)
        .add_conditional_edges(START, begin)
        .add_edge("record", END)
        .compile(name="feature")
    )


async def begin(state: FeatureState, runtime: Runtime[Context]) -> Literal["hypothesize", "judge"]:
    """Straight to the judge when it needs no hypotheses, they are given, or nothing could test them."""
    path = runtime.context.investigator
    proposes = runtime.context.judge.needs_hypotheses and (path is None or path.proposes)
    return "hypothesize" if proposes and not state.round else "judge"
