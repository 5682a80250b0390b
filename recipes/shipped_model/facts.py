"""Countries and their facts: the table `countries.jsonl`, read and corrected."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from . import corrections

TABLE = Path(__file__).with_name("countries.jsonl")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split(","))


WITH_ARTICLE = _names(
    "Bahamas,British Virgin Islands,Cayman Islands,Central African Republic,Cocos Islands,Comoros,"
    "Cook Islands,Czech Republic,Democratic Republic of the Congo,Dominican Republic,"
    "Falkland Islands,Faroe Islands,Gambia,Maldives,Marshall Islands,Netherlands,"
    "Northern Mariana Islands,Philippines,Seychelles,Solomon Islands,"
    "Turks and Caicos Islands,United Arab Emirates,United Kingdom,United States,"
    "U.S. Virgin Islands"
)

ALIASES = {
    "United States": ("the USA", "the US", "America", "the United States of America", "USA"),
    "United Kingdom": ("the UK", "Great Britain", "Britain", "UK"),
    "Netherlands": ("Holland",),
    "Czech Republic": ("Czechia",),
    "Ivory Coast": ("Cote d'Ivoire",),
    "Myanmar": ("Burma",),
    "Democratic Republic of the Congo": ("the DRC", "DR Congo"),
    "United Arab Emirates": ("the UAE", "UAE"),
    "Congo": ("the Republic of the Congo",),
    "East Timor": ("Timor-Leste",),
    "Cape Verde": ("Cabo Verde",),
    "Eswatini": ("Swaziland",),
    "Vatican City": ("the Vatican", "the Holy See"),
}

WELL_KNOWN = _names(
    "France,Germany,Italy,Spain,Portugal,United Kingdom,Ireland,Netherlands,Belgium,Switzerland,"
    "Austria,Poland,Greece,Sweden,Norway,Denmark,Finland,Russia,Ukraine,Turkey,United States,Canada,Mexico,"
    "Cuba,Brazil,Argentina,Chile,Peru,Colombia,Egypt,Morocco,Kenya,Ethiopia,Nigeria,Ghana,South Africa,China,"
    "Japan,South Korea,India,Pakistan,Indonesia,Thailand,Vietnam,Philippines,Iran,Iraq,Israel,"
    "Saudi Arabia,Australia,New Zealand,England,Hungary,Czech Republic"
)


@dataclass(frozen=True, slots=True)
class Country:
    """One row, corrected."""

    name: str
    capital: str
    continent: str
    currency: str
    code: str  # ISO 4217
    language: str
    population: int
    area: int  # km²; 0 where unknown
    landlocked: bool
    calling_code: int
    dish: str
    capital_population: int  # 0 where unknown
    sights: tuple[str, ...]

    @property
    def the_name(self) -> str:
        """The name as it stands inside a sentence."""
        return f"the {self.name}" if self.name in WITH_ARTICLE else self.name

    @property
    def The_name(self) -> str:
        """The name as it starts a sentence."""
        return f"The {self.name}" if self.name in WITH_ARTICLE else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """The names it goes by inside a sentence; the first is the usual one."""
        return (self.the_name, *ALIASES.get(self.name, ()))


def _pairs(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.strip().splitlines())


def _languages() -> dict[str, str]:
    joined = corrections.LANGUAGES
    return {
        country.strip(): language
        for language, countries in _pairs(joined).items()
        for country in countries.split(",")
    }


def _currency(text: str) -> str:
    """Write a currency's name as inside a sentence: 'Danish krone'."""
    words = text.split()
    keep = {"CFA", "US", "CFP", "BCEAO", "BEAC", "UAE"}
    lowered = [w if w in keep or i < len(words) - 1 else w.lower() for i, w in enumerate(words)]
    return " ".join(lowered).replace(" BCEAO", "").replace(" BEAC", "").replace("Franc", "franc")


@functools.cache
def countries() -> tuple[Country, ...]:
    """Return every country of the table that has a capital, by name."""
    names, capitals = _pairs(corrections.NAMES), _pairs(corrections.CAPITALS)
    currencies, continents = _pairs(corrections.CURRENCIES), _pairs(corrections.CONTINENTS)
    populations, languages = _pairs(corrections.POPULATIONS), _languages()
    in_capital, sights = _pairs(corrections.CAPITAL_POPULATIONS), _pairs(corrections.SIGHTS)
    dropped = set(corrections.DROPPED.split("\n"))
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name = names.get(row["country"], row["country"])
        capital = capitals.get(name, row.get("city", ""))
        if not capital or row["country"] in dropped:
            continue
        currency = currencies.get(name) or _currency(row.get("currency_name", ""))
        found.append(
            Country(
                name=name,
                capital=capital,
                continent=continents.get(name) or row.get("continent", ""),
                currency=currency,
                code=row.get("currency_code", ""),
                language=languages.get(name, "English"),
                population=int(populations.get(name) or row.get("population") or 0),
                area=int(row.get("area") or 0),
                landlocked=row.get("landlocked") == "1",
                calling_code=int(row.get("calling_code") or 0),
                dish=(row.get("dish") or "").split(",")[0].strip(),
                capital_population=int(in_capital.get(name, 0)),
                sights=tuple(s.strip() for s in sights.get(capital, "").split(";") if s.strip()),
            )
        )
    return tuple(sorted(found, key=lambda country: country.name))


@functools.cache
def well_known() -> tuple[Country, ...]:
    """Return the countries that people ask about most."""
    return tuple(country for country in countries() if country.name in WELL_KNOWN)


def rounded(count: int) -> str:
    """Write a population for people: '67 million', '389,000', '825'."""
    if count >= 1_000_000_000:
        return f"{count / 1_000_000_000:.1f} billion"
    if count >= 10_000_000:
        return f"{round(count / 1_000_000)} million"
    if count >= 1_000_000:
        return f"{count / 1_000_000:.1f} million"
    if count >= 10_000:
        return f"{round(count, -3):,}"
    return f"{count:,}"
