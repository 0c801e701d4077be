"""What every stage uses: enumerations, units, hashes, files, entry points."""
