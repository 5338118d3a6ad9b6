"""The recipe of the embedded tiny model: from nothing to answers, on the synthetic world and two CPU cores."""
