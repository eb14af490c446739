"""
What an order costs: its lines, their VAT, and what the shop charges for each parcel.

The fault (do not read on if you want to find it yourself; investigation.ipynb does):
`charge` holds it, and says when it strikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """One line of an order. Amounts in cents."""

    product: int
    quantity: int
    unit_net: int
    discount: int
    vat_bp: int
    parcel: int

    @property
    def net(self) -> int:
        """What the line costs before VAT, discount taken off."""
        return self.quantity * self.unit_net - self.discount


def vat_of(net_cents: int, vat_bp: int) -> int:
    """Return the VAT on `net_cents`, in cents, halves rounded up."""
    return (net_cents * vat_bp + 5000) // 10_000


def charge(lines: Sequence[Line], *, price_list: str, coupon: bool, faulty_release: bool) -> tuple[int, int]:
    """
    Return the VAT of one parcel's lines as the shop charges it, and how much of that is wrong.

    The planted fault: the release re-prices each parcel of an order that is split and has a coupon. It takes
    the unit price from the country's price list. Where that list is gross (the Netherlands), it takes a price
    that holds VAT for one that does not, and adds VAT once more.
    """
    vat = excess = 0
    for vat_bp in sorted({line.vat_bp for line in lines}):
        net = sum(line.net for line in lines if line.vat_bp == vat_bp)
        right = vat_of(net, vat_bp)
        charged = right
        if faulty_release and coupon and price_list == "gross":
            charged = right + vat_of(net + right, vat_bp)
        vat += charged
        excess += charged - right
    return vat, excess
