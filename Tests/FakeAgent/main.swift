import FakeVRouter
import JSON
import Linux
