from klassd.workflows import Job, JobContext


class Sizes(Job):
    text: str

    def run(self, ctx: JobContext) -> str:
        return f"{len(self.text)} characters"
