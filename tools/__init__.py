"""Tools for those who work on adjourn: releases."""
