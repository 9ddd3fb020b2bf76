"""What a page is made of: the race, the sweep, the card of a method."""
