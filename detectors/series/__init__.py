"""One detector for any metric series, in two tiers.

`bank.SeriesBank` is the fast tier: thousands of series advance together, one value each a tick.
`replay.judge` is the accurate tier: windows of hours compared with every earlier one, for the series that are worth it.
Both speak in tail probabilities: a score of 0.999 is what a normal row reaches once in a thousand, in every series.
"""
