"""The desk's pages for labelling and settling, and the files behind them."""
