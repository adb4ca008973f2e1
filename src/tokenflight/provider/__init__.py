"""The provider: keys normalised, held tokens judged, flights launched."""
