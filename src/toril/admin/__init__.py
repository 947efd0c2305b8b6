"""What the command line, the API and the page all call: look up, act on many, describe."""
