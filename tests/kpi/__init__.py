"""Tests of KPIs as code."""
