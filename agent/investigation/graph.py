"""The graph of one feature's investigation: a table of nodes and edges.

Where a node decides what comes next, its return type lists where that can be, and the drawing shows it dashed.
"""

from __future__ import annotations

from typing import Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent.investigation.nodes import apply_rules, experiment, hypothesize, judge, measure, rate, record
from agent.investigation.state import Context, FeatureState


def build_graph() -> CompiledStateGraph[FeatureState, Context, FeatureState, FeatureState]:
    """One feature: by rules, by ratings, or hypothesize, measure, experiment and judge until policy calls it settled."""
    return (
        StateGraph(FeatureState, context_schema=Context)
        .add_node(apply_rules)
        .add_node(hypothesize)
        .add_node(measure)
        .add_node(experiment)
        .add_node(judge)
        .add_node(rate)
        .add_node(record)
        .add_conditional_edges(START, choose_way)
        .add_edge("record", END)
        .compile(name="feature")
    )


async def choose_way(
    state: FeatureState, runtime: Runtime[Context]
) -> Literal["apply_rules", "hypothesize", "judge", "rate"]:
    """Rules without an LLM; ratings where the study asks for them; straight to the judge when hypotheses are given."""
    if runtime.context.investigator is None:
        return "apply_rules"
    if runtime.context.question.rating is not None:
        return "rate"
    return "judge" if state.round else "hypothesize"
