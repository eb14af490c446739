#!/usr/bin/env python3
"""
Make a web shop's production database to debug: `python make_shop.py shop.db`.

What it is for: `make lab` and the tests need a database that looks like somebody's production (50,000 orders
over half a year, with the rhythm of days and weeks, campaigns, failed payments, returns, late parcels, a
support inbox) and holds one fault that takes an engineer some cells to find. Everybody in it is made up:
names are drawn from lists, addresses end in example.org.

It needs Python's standard library alone, asks neither the clock nor the network, and writes nothing but the
file it was told to, which it replaces only with --force. One seed, one day, one number of orders: one file.

The fault (do not read on if you want to find it yourself; investigation.ipynb does):
`_charge` holds it, and says when it strikes.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

DAYS = 184
"""How many days of orders the shop has."""

FAULT_DAYS = 45
"""How many days before the last one the fault went into production."""

LAST_DAY = date(2026, 11, 22)
ORDERS = 50_000
SEED = 1042

SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE countries (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    vat_standard_bp INTEGER NOT NULL,  -- VAT in hundredths of a percent: 1900 is 19 %
    vat_reduced_bp INTEGER NOT NULL,
    price_list TEXT NOT NULL CHECK (price_list IN ('net', 'gross')),
    shipping_cents INTEGER NOT NULL
);

CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    street TEXT NOT NULL,
    city TEXT NOT NULL,
    country TEXT NOT NULL REFERENCES countries (code),
    created_at TEXT NOT NULL
);

CREATE TABLE products (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    vat_class TEXT NOT NULL CHECK (vat_class IN ('standard', 'reduced')),
    net_price_cents INTEGER NOT NULL,
    warehouse TEXT NOT NULL
);

CREATE TABLE coupons (
    code TEXT PRIMARY KEY,
    percent INTEGER NOT NULL,
    valid_from TEXT NOT NULL,
    valid_until TEXT NOT NULL
);

CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    placed_at TEXT NOT NULL,
    country TEXT NOT NULL REFERENCES countries (code),
    channel TEXT NOT NULL CHECK (channel IN ('web', 'app', 'phone')),
    coupon_code TEXT REFERENCES coupons (code),
    parcels INTEGER NOT NULL,
    goods_net_cents INTEGER NOT NULL,  -- before the discount
    discount_cents INTEGER NOT NULL,
    vat_cents INTEGER NOT NULL,
    shipping_cents INTEGER NOT NULL,   -- VAT included
    total_cents INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'shipped', 'returned', 'cancelled'))
);

CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders (id),
    line INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products (id),
    quantity INTEGER NOT NULL,
    unit_net_cents INTEGER NOT NULL,
    discount_cents INTEGER NOT NULL,
    vat_bp INTEGER NOT NULL,
    parcel INTEGER NOT NULL,
    PRIMARY KEY (order_id, line)
) WITHOUT ROWID;

CREATE TABLE payments (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')),
    method TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('captured', 'failed', 'paid_out')),
    note TEXT NOT NULL,
    created_at TEXT NOT NULL
);

CREATE TABLE shipments (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    parcel INTEGER NOT NULL,
    warehouse TEXT NOT NULL,
    carrier TEXT NOT NULL,
    shipped_at TEXT,
    delivered_at TEXT
);

CREATE TABLE deployments (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    version TEXT NOT NULL,
    deployed_at TEXT NOT NULL,
    deployed_by TEXT NOT NULL,
    summary TEXT NOT NULL
);

CREATE TABLE config_changes (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    old_value TEXT NOT NULL,
    new_value TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL
);

CREATE TABLE support_tickets (
    id INTEGER PRIMARY KEY,
    opened_at TEXT NOT NULL,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    order_id INTEGER REFERENCES orders (id),
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    linked_issue TEXT
);
"""

INDEXES = """
CREATE INDEX orders_placed_at ON orders (placed_at);
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX payments_order ON payments (order_id);
CREATE INDEX shipments_order ON shipments (order_id);
"""


@dataclass(frozen=True, slots=True)
class Country:
    """A country that the shop sells to. VAT in hundredths of a percent; `share` of all orders."""

    code: str
    name: str
    standard_bp: int
    reduced_bp: int
    price_list: str
    shipping_cents: int
    share: float
    cities: tuple[str, ...]
    streets: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]


COUNTRIES = (
    Country("DE", "Germany", 1900, 700, "net", 490, 0.44,
            ("Berlin", "Hamburg", "München", "Köln", "Leipzig", "Bremen", "Freiburg"),
            ("Musterstraße", "Beispielweg", "Probeallee"),
            ("Anna", "Jonas", "Mia", "Paul", "Lena", "Emil", "Clara", "Felix", "Ayşe", "Karl"),
            ("Muster", "Beispiel", "Probst", "Platzhalter", "Vorlage", "Irgendwer", "Testmann")),
    Country("NL", "Netherlands", 2100, 900, "gross", 590, 0.16,
            ("Amsterdam", "Utrecht", "Rotterdam", "Groningen", "Eindhoven"),
            ("Voorbeeldstraat", "Testgracht", "Proefplein"),
            ("Sanne", "Daan", "Lotte", "Bram", "Fleur", "Sem", "Noor", "Thijs"),
            ("van Voorbeeld", "de Test", "Proefstra", "Jansen-Demo", "van der Staal")),
    Country("AT", "Austria", 2000, 1000, "net", 590, 0.13,
            ("Wien", "Graz", "Linz", "Salzburg", "Innsbruck"),
            ("Mustergasse", "Beispielring"),
            ("Magdalena", "Lukas", "Hannah", "Tobias", "Theresa", "Maximilian"),
            ("Mustermayr", "Beispielhuber", "Probegger", "Testlinger")),
    Country("FR", "France", 2000, 550, "net", 790, 0.12,
            ("Lyon", "Paris", "Lille", "Nantes", "Strasbourg"),
            ("rue de l’Exemple", "avenue du Test"),
            ("Camille", "Louis", "Manon", "Hugo", "Inès", "Théo"),
            ("Exemple", "Dutest", "Modèle", "Delademo")),
    Country("BE", "Belgium", 2100, 600, "net", 690, 0.06,
            ("Gent", "Brussel", "Liège", "Antwerpen"),
            ("Voorbeeldlaan", "rue Modèle"),
            ("Emma", "Arthur", "Louise", "Jules"),
            ("Peeters-Demo", "Dubois-Test", "Voorbeels")),
    Country("IT", "Italy", 2200, 1000, "net", 890, 0.06,
            ("Milano", "Bologna", "Torino", "Trieste"),
            ("via dell’Esempio", "viale Prova"),
            ("Giulia", "Lorenzo", "Chiara", "Matteo"),
            ("Esempio", "Provetti", "Di Prova", "Campioni")),
    Country("DK", "Denmark", 2500, 2500, "net", 890, 0.03,
            ("København", "Aarhus", "Odense"),
            ("Eksempelvej", "Prøvegade"),
            ("Freja", "Oscar", "Ida", "Malthe"),
            ("Eksempelsen", "Prøvegaard", "Testensen")),
)  # fmt: skip

CATEGORIES = (
    # category, VAT class, median net price in cents, warehouse, nouns
    ("garden", "standard", 3400, "Leipzig",
     ("Watering can", "Raised bed", "Pruning shears", "Bird feeder", "Rain barrel", "Garden fork",
      "Fire bowl", "Seed tray", "Hammock", "Trellis")),
    ("kitchen", "standard", 2900, "Leipzig",
     ("Cast-iron pan", "Paring knife", "Coffee grinder", "Bread tin", "Mortar", "Teapot", "Scales",
      "Chopping board", "Colander", "Pepper mill")),
    ("lighting", "standard", 5200, "Venlo",
     ("Desk lamp", "Lantern", "Pendant lamp", "Bicycle light", "Night light", "Floor lamp", "String lights")),
    ("workshop", "standard", 4100, "Venlo",
     ("Plane", "Chisel set", "Clamp", "Spirit level", "Workbench", "Handsaw", "Tool roll", "Folding rule")),
    ("books", "reduced", 1700, "Leipzig",
     ("Atlas of moss", "Bread at home", "The mended chair", "Weather by eye", "A year of hedges",
      "Small boats", "Notes on soil")),
    ("pantry", "reduced", 900, "Venlo",
     ("Olive oil", "Buckwheat honey", "Rye crackers", "Sea salt", "Chestnut purée", "Oat drink",
      "Tomato passata", "Black tea")),
)  # fmt: skip
STYLES = ("", " classic", " large", " small", " oak", " green", " No. 2")

COUPONS = (
    # code, percent, first day, last day (counted from the first day of the database), share of orders then
    ("WELCOME10", 10, 0, DAYS, 0.09),
    ("NEWSLETTER5", 5, 0, DAYS, 0.08),
    ("SUMMER15", 15, 38, 66, 0.16),
    ("FRIENDS20", 20, 90, 104, 0.10),
    ("AUTUMN12", 12, 128, 160, 0.14),
)

METHODS = (("card", 46), ("paypal", 27), ("invoice", 17), ("sepa", 10))
CARRIERS = ("DHL", "PostNL", "DPD", "GLS")

RELEASES = (
    # service, version, day it went out, hour, by, summary
    ("search", "2.31.0", 6, 9, "m.haas", "Synonyms for garden tools"),
    ("checkout", "4.7.0", 11, 10, "t.okafor", "Apple Pay on the product page"),
    ("mailer", "1.18.2", 17, 14, "l.brandt", "Fix umlauts in subject lines"),
    ("catalog", "7.2.0", 24, 9, "m.haas", "Price lists: a country can be listed gross (Netherlands first)"),
    ("warehouse", "5.4.0", 31, 8, "p.nowak", "Second warehouse in Venlo takes orders"),
    ("payments", "3.9.0", 37, 10, "t.okafor", "Retry a failed card once"),
    ("checkout", "4.8.0", 52, 9, "t.okafor", "Coupons can be combined with sale prices"),
    ("search", "2.32.0", 58, 13, "m.haas", "Faster facets"),
    ("payments", "3.9.1", 63, 16, "s.lind", "SEPA: mandate text"),
    ("warehouse", "5.5.0", 74, 8, "p.nowak", "Split an order when no single warehouse has all of it"),
    ("checkout", "4.9.0", 81, 10, "t.okafor", "Show parcels of a split order"),
    ("mailer", "1.19.0", 95, 11, "l.brandt", "One mail for each parcel"),
    ("catalog", "7.3.0", 102, 9, "m.haas", "Autumn catalogue"),
    ("payments", "3.10.0", 113, 10, "s.lind", "New PayPal API"),
    ("checkout", "4.9.1", 119, 15, "t.okafor", "Fix: coupon field lost its focus"),
    ("search", "2.33.0", 131, 9, "m.haas", "Spelling of Dutch compounds"),
    ("catalog", "7.3.1", DAYS - FAULT_DAYS - 3, 9, "m.haas", "Images in AVIF"),
    ("payments", "3.10.1", DAYS - FAULT_DAYS - 2, 16, "s.lind", "Log the gateway's reply code"),
    ("checkout", "4.10.0", DAYS - FAULT_DAYS - 1, 9, "t.okafor",
     "Re-price each parcel of a split order, so that coupons round right"),
    ("mailer", "1.19.1", DAYS - FAULT_DAYS - 1, 7, "l.brandt", "Footer with new office address"),
    ("warehouse", "5.5.1", DAYS - FAULT_DAYS + 4, 8, "p.nowak", "Labels: print postcode larger"),
    ("search", "2.34.0", DAYS - FAULT_DAYS + 12, 13, "m.haas", "Faster index"),
    ("checkout", "4.10.1", DAYS - FAULT_DAYS + 19, 10, "t.okafor", "Accessible error messages"),
    ("catalog", "7.4.0", DAYS - FAULT_DAYS + 30, 9, "m.haas", "Winter catalogue"),
)  # fmt: skip
FAULT_RELEASE = ("checkout", "4.10.0")

CONFIG = (
    # service, key, old, new, day, hour, by
    ("catalog", "price_list.NL", "net", "gross", 25, 7, "m.haas"),
    ("payments", "card.retries", "0", "1", 37, 11, "s.lind"),
    ("warehouse", "split.enabled", "false", "true", 76, 7, "p.nowak"),
    ("warehouse", "split.max_parcels", "2", "3", 110, 7, "p.nowak"),
    ("checkout", "free_shipping_from_cents", "10000", "9000", 126, 8, "t.okafor"),
    ("payments", "capture.timeout_s", "20", "30", DAYS - FAULT_DAYS - 2, 17, "s.lind"),
    ("search", "results_per_page", "24", "36", DAYS - FAULT_DAYS + 2, 9, "m.haas"),
    ("mailer", "provider", "smtp-1", "smtp-2", DAYS - FAULT_DAYS + 8, 9, "l.brandt"),
)

FREE_SHIPPING_FROM = 9000

HOURS = (4, 2, 1, 1, 1, 2, 5, 10, 17, 24, 29, 31, 33, 31, 29, 29, 31, 36, 43, 51, 56, 47, 28, 12)
"""How busy each hour of the day is (UTC); people shop in the evening."""
WEEKDAYS = (1.08, 1.0, 0.97, 0.98, 0.94, 0.86, 1.21)
"""Monday to Sunday."""

OTHER_TICKETS = (
    ("Where is my parcel?", "It should have been here {n} days ago. The tracking page has not moved since."),
    ("Arrived broken", "The box was dented and one piece is cracked. Can I have another one?"),
    ("Change of address", "I have moved. Please send it to my new address, it is in my account."),
    ("Coupon does not work", "The shop says the code has expired, but the mail came only yesterday."),
    ("Invoice for my company", "Could I have the invoice with our VAT number on it, please?"),
    ("Return", "It does not fit. How do I send it back?"),
    ("Thank you", "It came a day early and it is lovely. Just wanted to say so."),
)
OVERCHARGED_TICKETS = (
    ("Charged too much", "I paid {paid}, but with my coupon your own pages come to {right}. What happened?"),
    ("Coupon made it dearer?", "With the coupon I was charged {paid}. That is what it costs without one!"),
    ("Wrong amount", "{paid} was taken. I added it up three times and get {right} with shipping and VAT."),
    ("VAT looks wrong", "The VAT on my invoice is far too high. Paid {paid}, should be {right}."),
    ("Te veel betaald", "You took {paid} in parts, one for each parcel. The basket had said {right}."),
)


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


def vat_of(net_cents: int, vat_bp: int) -> int:
    """Return the VAT on `net_cents`, in cents, halves rounded up."""
    return (net_cents * vat_bp + 5000) // 10_000


def _charge(lines: Sequence[Line], *, price_list: str, coupon: bool, faulty_release: bool) -> tuple[int, int]:
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
            parcel_vat, parcel_excess = _charge(
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


def _inserts(rows: Rows) -> Iterator[tuple[str, Sequence[tuple[object, ...]]]]:
    """Yield each table's insert statement with its rows, referenced tables first."""
    countries = [
        (c.code, c.name, c.standard_bp, c.reduced_bp, c.price_list, c.shipping_cents) for c in COUNTRIES
    ]
    yield "INSERT INTO countries VALUES (?, ?, ?, ?, ?, ?)", countries
    yield "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", rows.customers
    yield "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?)", rows.products
    yield "INSERT INTO coupons VALUES (?, ?, ?, ?)", rows.coupons
    yield "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows.orders
    yield "INSERT INTO order_items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.order_items
    yield "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.payments
    yield "INSERT INTO shipments VALUES (?, ?, ?, ?, ?, ?, ?)", rows.shipments
    yield "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, ?)", rows.deployments
    yield "INSERT INTO config_changes VALUES (?, ?, ?, ?, ?, ?, ?)", rows.config_changes
    yield "INSERT INTO support_tickets VALUES (?, ?, ?, ?, ?, ?, ?)", rows.support_tickets


def make_shop(
    target: Path,
    *,
    orders: int = ORDERS,
    seed: int = SEED,
    last_day: date = LAST_DAY,
    force: bool = False,
) -> None:
    """
    Write the shop's database to `target`, whole or not at all.

    Raises `FileExistsError` if there is something already and `force` is false, `ValueError` for fewer
    than one order.
    """
    if orders < 1:
        raise ValueError(f"a shop needs at least one order, got {orders}")
    if target.exists() and not force:
        raise FileExistsError(f"{target} exists already; --force replaces it")
    rows = Shop(orders=orders, seed=seed, last_day=last_day).draw()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        draft = Path(folder) / target.name
        connection = sqlite3.connect(draft)
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        about = (
            ("what", "A made-up web shop. Nobody in it exists."),
            ("seed", str(seed)),
            ("last_day", str(last_day)),
        )
        connection.executemany("INSERT INTO about VALUES (?, ?)", about)
        for statement, values in _inserts(rows):
            connection.executemany(statement, values)
        connection.commit()
        connection.executescript(INDEXES + "PRAGMA journal_mode = DELETE;")
        connection.close()
        draft.replace(target)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description="Make a web shop's database with one planted fault.")
    parser.add_argument("target", type=Path, help="the SQLite file to make")
    parser.add_argument("--orders", type=int, default=ORDERS, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="one seed, one shop (default: %(default)s)")
    parser.add_argument(
        "--until",
        type=date.fromisoformat,
        default=LAST_DAY,
        metavar="DAY",
        help="the last day with orders, as YYYY-MM-DD (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    options = parser.parse_args(arguments)
    try:
        make_shop(
            options.target,
            orders=options.orders,
            seed=options.seed,
            last_day=options.until,
            force=options.force,
        )
    except (OSError, ValueError, OverflowError) as error:
        print(f"make_shop: {error}", file=sys.stderr)
        return 1
    size = options.target.stat().st_size / 1e6
    print(f"{options.target}: {options.orders:,} orders up to {options.until}, {size:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
