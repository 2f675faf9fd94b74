"""The built-in kinds of evidence, one file each.

Where their numbers come from: unless a comment names another source, a constant was chosen on the development packs, as
one value for all of them (docs/benchmarks.md has what the whole gives there). `HALF_AT` is always the size of a change,
in spreads or standard errors of its own past, that is believed by half; `DOUBT` is what noise alone would amount to, in
the unit of what is shared out.
"""
