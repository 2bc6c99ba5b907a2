"""
Every attribute key, metric name, unit and event name that bizspan writes, once.

OpenTelemetry's semantic conventions where they exist, our prefix ``business.`` where they do not, and
``bizspan.`` for what bizspan says about itself.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "bizspan"
SCHEMA_URL: Final = "urn:bizspan:vocabulary:1"

# --- the record ---------------------------------------------------------------------------------------------------
RECORD_UID: Final = "log.record.uid"  # semantic conventions, "General logs attributes"
WRITER_ID: Final = "bizspan.writer.id"
SEQUENCE: Final = "bizspan.seq"
NOTES: Final = "bizspan.notes"
# On the metrics' scope, of every pipeline of a process but its first.
GENERATION: Final = "bizspan.generation"
DROPPED_FACTS: Final = "bizspan.dropped_facts"

EVENT_OPERATION: Final = "business.operation"
# A second currency within one operation: its own event and uid, the same operation id.
EVENT_REVENUE: Final = "business.revenue"
EVENT_REFUND: Final = "business.refund"
EVENT_COST: Final = "business.cost"
EVENT_FEEDBACK: Final = "business.feedback"

# --- the operation ------------------------------------------------------------------------------------------------
OPERATION_NAME: Final = "business.operation.name"
OPERATION_ID: Final = "business.operation.id"
OPERATION_OUTCOME: Final = "business.operation.outcome"
# Seconds, on the event alone: the span has its own times, and the metric of this name its buckets.
OPERATION_DURATION: Final = "business.operation.duration"
OPERATION_REASON: Final = "business.operation.outcome_reason"
EVENT_NAME: Final = "business.event.name"
ERROR_TYPE: Final = "error.type"

# --- money: the same three keys under each kind -------------------------------------------------------------------
REVENUE: Final = "business.revenue"
REFUND: Final = "business.refund"
COST: Final = "business.cost"
VALUE: Final = "business.value"
TAX: Final = "business.tax"
MONEY_KINDS: Final = (REVENUE, REFUND, COST, VALUE, TAX)
AMOUNT_KEYS: Final = {kind: f"{kind}.amount" for kind in MONEY_KINDS}
MINOR_UNITS_KEYS: Final = {kind: f"{kind}.minor_units" for kind in MONEY_KINDS}
CURRENCY_KEYS: Final = {kind: f"{kind}.currency" for kind in MONEY_KINDS}
AMOUNT_INVALID_KEYS: Final = {kind: f"{kind}.invalid" for kind in MONEY_KINDS}
MONEY_KEYS: Final = frozenset(
    key for keys in (AMOUNT_KEYS, MINOR_UNITS_KEYS, CURRENCY_KEYS, AMOUNT_INVALID_KEYS) for key in keys.values()
)
REVENUE_BASIS: Final = "business.revenue.basis"
REFUND_REASON: Final = "business.refund.reason"

# --- who, where from, what ----------------------------------------------------------------------------------------
CUSTOMER: Final = "enduser.pseudo.id"
SEGMENT: Final = "business.customer.segment"
PLAN: Final = "business.plan"
TENANT: Final = "business.tenant.id"
COMMUNITY: Final = "business.community"
COUNTRY: Final = "geo.country.iso_code"
REGION: Final = "geo.region.iso_code"
CONTINENT: Final = "geo.continent.code"
LOCALITY: Final = "geo.locality.name"
CHANNEL: Final = "business.channel"
CAMPAIGN: Final = "business.campaign.name"
CAMPAIGN_SOURCE: Final = "business.campaign.source"
CAMPAIGN_MEDIUM: Final = "business.campaign.medium"
CAMPAIGN_CONTENT: Final = "business.campaign.content"
CAMPAIGN_TERM: Final = "business.campaign.term"
ORDER: Final = "business.order.id"
PRODUCT: Final = "business.product.id"
CATEGORY: Final = "business.product.category"
FEATURE: Final = "business.feature"
TRAFFIC: Final = "business.traffic"
SESSION: Final = "session.id"
FLAG: Final = "feature_flag.key"
VARIANT: Final = "feature_flag.result.variant"
CUSTOM_PREFIX: Final = "business.custom."

# --- feedback -----------------------------------------------------------------------------------------------------
FEEDBACK_NAME: Final = "business.feedback.name"
FEEDBACK_SCORE: Final = "business.feedback.score"

# --- metrics ------------------------------------------------------------------------------------------------------
METRIC_DURATION: Final = "business.operation.duration"
METRIC_EVENTS: Final = "business.events"
METRIC_FEEDBACK: Final = "business.feedback.score"
METRIC_OFFERED: Final = "bizspan.events.offered"
METRIC_ACKNOWLEDGED: Final = "bizspan.events.acknowledged"
METRIC_REFUSED: Final = "bizspan.events.refused"
METRIC_HANDED_OVER: Final = "bizspan.events.handed_over"
METRIC_PENDING: Final = "bizspan.events.pending"
METRIC_VALUES_REFUSED: Final = "bizspan.values.refused"
# Of a spool.
METRIC_ADOPTED: Final = "bizspan.events.adopted"
METRIC_DELIVERED: Final = "bizspan.events.delivered"
METRIC_REJECTED: Final = "bizspan.events.rejected_by_collector"
METRIC_DEAD_LETTERED: Final = "bizspan.events.dead_lettered"
METRIC_EXPIRED: Final = "bizspan.events.expired"
METRIC_SPOOL_SIZE: Final = "bizspan.spool.size"
METRIC_SPOOL_DURABLE: Final = "bizspan.spool.durable"
REASON: Final = "bizspan.reason"

UNIT_SECONDS: Final = "s"
UNIT_CURRENCY: Final = "{currency}"
UNIT_EVENT: Final = "{event}"
UNIT_SCORE: Final = "{score}"
UNIT_VALUE: Final = "{value}"
UNIT_BYTES: Final = "By"
UNIT_NONE: Final = "1"

# HTTP's buckets (semantic conventions, http.server.request.duration), then what a business operation may take.
DURATION_BOUNDARIES_S: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0, 60.0, 300.0, 1800.0, 3600.0,
)  # fmt: skip
# Net promoter score is 0 to 10, satisfaction 1 to 5, effort 1 to 7: whole numbers keep each answer apart.
FEEDBACK_BOUNDARIES: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)

# --- outcomes -----------------------------------------------------------------------------------------------------
SUCCESS: Final = "success"
REJECTED: Final = "rejected"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
ABANDONED: Final = "abandoned"
# Reasons of what was told inside a database transaction.
ROLLED_BACK: Final = "rolled_back"
UNKNOWN: Final = "unknown"

# What a dimension's tail becomes, for that attribute alone.
OTHER: Final = "__other__"
