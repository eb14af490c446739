"""Half a year of a shop, drawn from one seed: who ordered what and when, paid, got it, and wrote about it."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from shop_facts import (
    CARRIERS,
    CATEGORIES,
    CONFIG,
    COUNTRIES,
    COUPONS,
    DAYS,
    FAULT_RELEASE,
    FREE_SHIPPING_FROM,
    HOURS,
    METHODS,
    OTHER_TICKETS,
    OVERCHARGED_TICKETS,
    RELEASES,
    STYLES,
    WEEKDAYS,
    Country,
)
from shop_prices import Line, charge


@dataclass(slots=True)
class Rows:
    """What is to be inserted, a list for each table."""

    customers: list[tuple[object, ...]] = field(default_factory=list)
    products: list[tuple[object, ...]] = field(default_factory=list)
    coupons: list[tuple[object, ...]] = field(default_factory=list)
    orders: list[tuple[object, ...]] = field(default_factory=list)
    order_items: list[tuple[object, ...]] = field(default_factory=list)
    payments: list[tuple[object, ...]] = field(default_factory=list)
    shipments: list[tuple[object, ...]] = field(default_factory=list)
    deployments: list[tuple[object, ...]] = field(default_factory=list)
    config_changes: list[tuple[object, ...]] = field(default_factory=list)
    support_tickets: list[tuple[object, ...]] = field(default_factory=list)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


class Shop:
    """Draws a whole shop from one seed. `last_day` is the last day with orders."""

    def __init__(self, *, orders: int, seed: int, last_day: date) -> None:
        self.random = random.Random(seed)  # noqa: S311 (test data, no secret)
        self.wanted = orders
        last = datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC)
        self.first = last - timedelta(days=DAYS - 1)
        self.end = self.first + timedelta(days=DAYS)
        self.rows = Rows()
        self.warehouses: list[str] = []
        self.prices: list[int] = []
        self.classes: list[str] = []
        self.overcharged: list[tuple[int, int, datetime, int, int]] = []
        self.mistaken: tuple[int, int, datetime] | None = None
        self.fault_from = datetime.max.replace(tzinfo=UTC)

    def draw(self) -> Rows:
        """Return all rows."""
        self._history()
        self._products()
        self._orders()
        self._complaints()
        return self.rows

    def _moment(self, day: int, hour: int) -> datetime:
        return self.first + timedelta(days=day, hours=hour, seconds=self.random.randrange(3600))

    def _history(self) -> None:
        releases = []
        for service, version, day, hour, by, summary in RELEASES:
            moment = self._moment(day, hour)
            releases.append((service, version, _text(moment), by, summary))
            if (service, version) == FAULT_RELEASE:
                self.fault_from = moment
        releases.sort(key=lambda release: release[2])
        self.rows.deployments = [(number, *release) for number, release in enumerate(releases, 1)]
        changes = [
            (service, key, old, new, _text(self._moment(day, hour)), by)
            for service, key, old, new, day, hour, by in CONFIG
        ]
        self.rows.config_changes = [(number, *change) for number, change in enumerate(changes, 1)]
        for code, percent, start, stop, _share in COUPONS:
            until = self.first + timedelta(days=stop)
            self.rows.coupons.append((code, percent, _text(self.first + timedelta(days=start)), _text(until)))

    def _products(self) -> None:
        number = 0
        for category, vat_class, median, home, nouns in CATEGORIES:
            for noun in nouns:
                for style in self.random.sample(STYLES, 3):
                    number += 1
                    cents = median * math.exp(self.random.gauss(0, 0.55))
                    price = max(190, round(cents / 50) * 50 - 1)
                    # Some of each category lies in the other warehouse: that is what splits orders.
                    other = "Venlo" if home == "Leipzig" else "Leipzig"
                    warehouse = home if self.random.random() < 0.8 else other
                    sku = f"{category[:3].upper()}-{number:04d}"
                    name = noun + style
                    self.rows.products.append((number, sku, name, category, vat_class, price, warehouse))
                    self.warehouses.append(warehouse)
                    self.prices.append(price)
                    self.classes.append(vat_class)

    def _moments(self) -> list[datetime]:
        """When orders are placed: growth over the months, the week, the day, campaigns, and weather."""
        weights = []
        for day in range(DAYS):
            campaign = sum(0.8 * share for _, _, start, stop, share in COUPONS if start <= day < stop < DAYS)
            week = WEEKDAYS[(self.first + timedelta(days=day)).weekday()]
            growth = 0.85 + 0.35 * day / DAYS
            weights.append(growth * (1 + campaign) * week * math.exp(self.random.gauss(0, 0.07)))
        days = self.random.choices(range(DAYS), weights, k=self.wanted)
        hours = self.random.choices(range(24), HOURS, k=self.wanted)
        seconds = (self.random.randrange(3600) for _ in range(self.wanted))
        placed = zip(days, hours, seconds, strict=True)
        return [self.first + timedelta(days=d, hours=h, seconds=s) for d, h, s in sorted(placed)]

    def _customer(self, number: int, country: Country, first_order: datetime) -> None:
        draw = self.random
        given, family = draw.choice(country.first), draw.choice(country.last)
        street = f"{draw.choice(country.streets)} {draw.randrange(1, 140)}"
        created = first_order - timedelta(minutes=draw.randrange(2, 40))
        email = f"customer-{number:05d}@example.org"
        city = draw.choice(country.cities)
        self.rows.customers.append(
            (number, f"{given} {family}", email, street, city, country.code, _text(created))
        )

    def _orders(self) -> None:
        draw = self.random
        popularity = list(itertools.accumulate(1 / (rank + 8) for rank in range(len(self.prices))))
        shuffled = list(range(len(self.prices)))
        draw.shuffle(shuffled)
        shares = list(itertools.accumulate(country.share for country in COUNTRIES))
        known: dict[str, list[int]] = {country.code: [] for country in COUNTRIES}
        customers = 0
        for number, moment in enumerate(self._moments(), 100_001):
            country = draw.choices(COUNTRIES, cum_weights=shares)[0]
            mine = known[country.code]
            if mine and draw.random() < 0.58:
                customer = mine[draw.randrange(len(mine))]
            else:
                customers += 1
                customer = customers
                mine.append(customer)
                self._customer(customer, country, moment)
            count = draw.choices((1, 2, 3, 4, 5, 6), (38, 27, 17, 10, 5, 3))[0]
            chosen = dict.fromkeys(draw.choices(shuffled, cum_weights=popularity, k=count))
            self._order(number, customer, country, moment, list(chosen))

    def _order(
        self, number: int, customer: int, country: Country, moment: datetime, chosen: list[int]
    ) -> None:
        draw = self.random
        day = (moment - self.first).days
        coupon = percent = None
        for code, percent_off, start, stop, share in COUPONS:
            if start <= day < stop and draw.random() < share:
                coupon, percent = code, percent_off
        # Before the warehouses could split an order, everything waited for the slowest item.
        parcel_of: dict[str, int] = {}
        lines = []
        for product in chosen:
            place = self.warehouses[product] if day > 76 else "Leipzig"
            parcel = parcel_of.setdefault(place, len(parcel_of) + 1)
            quantity = draw.choices((1, 2, 3, 4, 6), (74, 16, 5, 3, 2))[0]
            unit = self.prices[product]
            discount = (quantity * unit * (percent or 0) + 50) // 100
            vat_bp = country.standard_bp if self.classes[product] == "standard" else country.reduced_bp
            lines.append(Line(product + 1, quantity, unit, discount, vat_bp, parcel))
        parcels = len(parcel_of)
        vat = excess = 0
        charges = []
        for parcel in range(1, parcels + 1):
            packed = [line for line in lines if line.parcel == parcel]
            parcel_vat, parcel_excess = charge(
                packed,
                price_list=country.price_list,
                coupon=coupon is not None,
                faulty_release=parcels > 1 and moment >= self.fault_from,
            )
            vat += parcel_vat
            excess += parcel_excess
            charges.append(sum(line.net for line in packed) + parcel_vat)
        goods = sum(line.quantity * line.unit_net for line in lines)
        discount = sum(line.discount for line in lines)
        shipping = 0 if goods - discount >= FREE_SHIPPING_FROM else country.shipping_cents
        charges[0] += shipping
        total = goods - discount + vat + shipping
        fate = draw.random()
        age = self.end - moment
        if fate < 0.018:
            status = "cancelled"
        elif age < timedelta(hours=36):
            status = "open"
        else:
            status = "returned" if fate < 0.062 and age > timedelta(days=9) else "shipped"
        channel = draw.choices(("web", "app", "phone"), (66, 31, 3))[0]
        amounts = (goods, discount, vat, shipping, total)
        placed = (number, customer, _text(moment), country.code, channel, coupon, parcels)
        self.rows.orders.append((*placed, *amounts, status))
        self.rows.order_items += [(number, index, *line) for index, line in enumerate(lines, 1)]
        self._payments(number, moment, charges, total, status)
        if status != "cancelled":
            self._shipments(number, moment, list(parcel_of), status)
        if excess and status == "shipped":
            self.overcharged.append((number, customer, moment, total, excess))
        elif not self.mistaken and country.code == "DE" and parcels == 2 and moment > self.fault_from:
            self.mistaken = (number, customer, moment)
        elif draw.random() < 0.006:
            subject, body = draw.choice(OTHER_TICKETS)
            opened = moment + timedelta(hours=draw.randrange(5, 140))
            if opened < self.end:
                self._ticket(opened, customer, number, subject, body.format(n=draw.randrange(2, 9)), None)

    def _payments(self, number: int, moment: datetime, charges: list[int], total: int, status: str) -> None:
        draw = self.random
        method = draw.choices([name for name, _ in METHODS], [weight for _, weight in METHODS])[0]
        when = moment + timedelta(seconds=draw.randrange(2, 90))
        if method == "card" and draw.random() < 0.03:
            self._payment(number, "charge", method, charges[0], "failed", "declined by the bank", when)
            when += timedelta(seconds=draw.randrange(20, 400))
        for parcel, amount in enumerate(charges, 1):
            note = "" if len(charges) == 1 else f"parcel {parcel} of {len(charges)}"
            self._payment(number, "charge", method, amount, "captured", note, when)
        if status == "cancelled":
            back = when + timedelta(hours=draw.randrange(1, 20))
            self._payment(number, "refund", method, total, "paid_out", "cancelled", self._by_the_end(back))
        elif status == "returned":
            back = moment + timedelta(days=draw.randrange(8, 25))
            self._payment(number, "refund", method, total, "paid_out", "returned", self._by_the_end(back))

    def _by_the_end(self, moment: datetime) -> datetime:
        """Return `moment`, or one in the last hours of the database where it would come after its end."""
        return min(moment, self.end - timedelta(minutes=self.random.randrange(1, 300)))

    def _payment(
        self, order: int, kind: str, method: str, cents: int, status: str, note: str, when: datetime
    ) -> None:
        self.rows.payments.append((order, kind, method, cents, status, note, _text(when)))

    def _shipments(self, number: int, moment: datetime, warehouses: list[str], status: str) -> None:
        draw = self.random
        for parcel, warehouse in enumerate(warehouses, 1):
            shipped = moment + timedelta(hours=8 + draw.expovariate(1 / 14))
            delivered = shipped + timedelta(hours=20 + draw.expovariate(1 / 22))
            self.rows.shipments.append((
                number,
                parcel,
                warehouse,
                draw.choice(CARRIERS),
                _text(shipped) if status != "open" and shipped < self.end else None,
                _text(delivered) if status != "open" and delivered < self.end else None,
            ))  # fmt: skip

    def _ticket(
        self, opened: datetime, customer: int, order: int, subject: str, body: str, issue: str | None
    ) -> None:
        self.rows.support_tickets.append((_text(opened), customer, order, subject, body, issue))

    def _complaints(self) -> None:
        """Customers who noticed: some wrote, support linked what looked alike and paid a few back."""
        draw = self.random
        writers = draw.sample(self.overcharged, min(14, len(self.overcharged)))
        writers.sort(key=lambda order: order[2])
        for index, (number, customer, moment, total, excess) in enumerate(writers):
            opened = self._by_the_end(moment + timedelta(hours=draw.randrange(20, 150)))
            subject, body = OVERCHARGED_TICKETS[index % len(OVERCHARGED_TICKETS)]
            text = body.format(paid=f"€ {total / 100:.2f}", right=f"€ {(total - excess) / 100:.2f}")
            self._ticket(opened, customer, number, subject, text, "SHOP-1042" if index % 3 else None)
            if index in (2, 5, 9):
                paid_back = self._by_the_end(opened + timedelta(hours=draw.randrange(3, 60)))
                self._payment(number, "refund", "card", excess, "paid_out", "goodwill", paid_back)
        if self.mistaken:
            # Looks alike and is not: charged parcel by parcel, and in sum rightly.
            number, customer, moment = self.mistaken
            body = "There are two amounts on my statement for one order. I think I have paid twice!"
            opened = self._by_the_end(moment + timedelta(days=3))
            self._ticket(opened, customer, number, "Charged twice", body, "SHOP-1042")
        self.rows.support_tickets = _numbered(self.rows.support_tickets, 7001, time=0)
        self.rows.payments = _numbered(self.rows.payments, 1, time=6)
        self.rows.shipments = _numbered(self.rows.shipments, 1, time=0)


def _numbered(rows: list[tuple[object, ...]], first: int, *, time: int) -> list[tuple[object, ...]]:
    """Return the rows in order of their column `time`, numbered from `first`."""
    return [(number, *row) for number, row in enumerate(sorted(rows, key=lambda row: str(row[time])), first)]
