"""What a shop does in a checkout: reads the products, writes an order with its lines, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tests.bench.applications.telemetry import PRICES, database_file


class Base(DeclarativeBase):
    """Of all tables."""


class Product(Base):
    """What is sold."""

    __tablename__ = "product"
    sku: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[int]


class Line(Base):
    """One product of an order."""

    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    sku: Mapped[str]
    quantity: Mapped[int]
    price: Mapped[int]


class Order(Base):
    """What was bought at once."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]
    lines: Mapped[list[Line]] = relationship()


engine = create_engine(f"sqlite:///{database_file()}")
Base.metadata.create_all(engine)
with Session(engine) as setting_up, setting_up.begin():
    setting_up.add_all(Product(sku=sku, price=price) for sku, price in PRICES.items())


def order(cart: Mapping[str, Any]) -> dict[str, int]:
    """Write an order; its number and what it costs, in cents."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        lines: list[Line] = []
        for line in cart["cart"]:
            product = session.get_one(Product, line["sku"])
            lines.append(Line(sku=product.sku, quantity=line["quantity"], price=product.price))
        placed = Order(total=sum(line.price * line.quantity for line in lines), lines=lines)
        session.add(placed)
    return {"order": placed.id, "total": placed.total}
