"""`foretype purge`: remove every cache, index, log and statistic of ours."""
