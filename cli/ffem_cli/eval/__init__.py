"""What `ffem eval` measures: recovery, fakes, precision, samples of a model. No picture of a data set is written."""
