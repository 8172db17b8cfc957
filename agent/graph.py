"""The graph of one feature's investigation: a table of nodes and edges."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent.nodes import apply_rules, record
from agent.state import Context, FeatureState


def build_graph() -> CompiledStateGraph:
    """One feature: judge by rules, then record."""
    return (
        StateGraph(FeatureState, context_schema=Context)
        .add_node(apply_rules)
        .add_node(record)
        .add_edge(START, "apply_rules")
        .add_edge("apply_rules", "record")
        .add_edge("record", END)
        .compile(name="feature")
    )
