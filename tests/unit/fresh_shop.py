"""Applications that nothing but their start is tested on."""

import adjourn

app = adjourn.App()
other = adjourn.App()


@other.deferred(timeout=60)
def slow() -> None: ...


not_an_app = "app"
