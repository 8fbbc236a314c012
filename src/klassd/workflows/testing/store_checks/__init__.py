"""The checks of ``StoreConformance``, by theme."""
