"""The part of GitHub's GraphQL schema that tells of repositories and pull requests, in its names."""

SCHEMA = '''
scalar DateTime
scalar URI
scalar GitObjectID
scalar BigInt
"""What GitHub declares as Int, though its numbers have outgrown 32 bits."""
scalar DatabaseId

enum OrderDirection { ASC DESC }
enum PullRequestState { OPEN CLOSED MERGED }
enum IssueOrderField { CREATED_AT UPDATED_AT COMMENTS }
enum RepositoryOrderField { CREATED_AT UPDATED_AT PUSHED_AT NAME STARGAZERS }
enum RepositoryPrivacy { PUBLIC PRIVATE }
enum PullRequestReviewState { PENDING COMMENTED APPROVED CHANGES_REQUESTED DISMISSED }
input IssueOrder { field: IssueOrderField! direction: OrderDirection! }
input RepositoryOrder { field: RepositoryOrderField! direction: OrderDirection! }

interface Node { id: ID! }
interface Actor { login: String! url: URI! avatarUrl: URI! resourcePath: URI! }
interface RepositoryOwner { id: ID! login: String! url: URI! }

type Query {
  rateLimit(dryRun: Boolean = false): RateLimit
  viewer: User!
  organization(login: String!): Organization
  repository(owner: String!, name: String!, followRenames: Boolean = true): Repository
  node(id: ID!): Node
  nodes(ids: [ID!]!): [Node]!
}
type RateLimit { cost: Int! limit: Int! nodeCount: Int! remaining: Int! resetAt: DateTime! used: Int! }
type PageInfo { endCursor: String hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String }

type User implements Node & Actor & RepositoryOwner {
  id: ID! databaseId: DatabaseId login: String! name: String email: String! url: URI! avatarUrl: URI! resourcePath: URI!
}
type Bot implements Node & Actor { id: ID! databaseId: DatabaseId login: String! url: URI! avatarUrl: URI! resourcePath: URI! }
type Mannequin implements Node & Actor {
  id: ID! databaseId: DatabaseId login: String! email: String url: URI! avatarUrl: URI! resourcePath: URI!
}
type Organization implements Node & Actor & RepositoryOwner {
  id: ID! databaseId: DatabaseId login: String! name: String url: URI! avatarUrl: URI! resourcePath: URI!
  repositories(first: Int, after: String, last: Int, before: String, orderBy: RepositoryOrder, privacy: RepositoryPrivacy,
    isArchived: Boolean, isFork: Boolean): RepositoryConnection!
  repository(name: String!, followRenames: Boolean = true): Repository
}
type RepositoryConnection {
  edges: [RepositoryEdge] nodes: [Repository] pageInfo: PageInfo! totalCount: Int! totalDiskUsage: Int!
}
type RepositoryEdge { cursor: String! node: Repository }
type Ref { name: String! }
type Repository implements Node {
  id: ID! databaseId: DatabaseId name: String! nameWithOwner: String! owner: RepositoryOwner! description: String url: URI!
  createdAt: DateTime! updatedAt: DateTime! pushedAt: DateTime archivedAt: DateTime
  isArchived: Boolean! isDisabled: Boolean! isEmpty: Boolean! isFork: Boolean! isPrivate: Boolean! hasIssuesEnabled: Boolean!
  visibility: String! defaultBranchRef: Ref
  issues(first: Int, after: String, last: Int, before: String, orderBy: IssueOrder): IssueConnection!
  pullRequests(first: Int, after: String, last: Int, before: String, orderBy: IssueOrder, states: [PullRequestState!]):
    PullRequestConnection!
  pullRequest(number: Int!): PullRequest
}
type IssueConnection { edges: [IssueEdge] nodes: [Issue] pageInfo: PageInfo! totalCount: Int! }
type IssueEdge { cursor: String! node: Issue }
type Issue implements Node {
  id: ID! databaseId: DatabaseId fullDatabaseId: BigInt number: Int! title: String! body: String! url: URI! author: Actor
  createdAt: DateTime! updatedAt: DateTime! closedAt: DateTime closed: Boolean!
  comments(first: Int, after: String, last: Int, before: String): IssueCommentConnection!
  labels(first: Int, after: String, last: Int, before: String): LabelConnection
}
type PullRequestConnection { edges: [PullRequestEdge] nodes: [PullRequest] pageInfo: PageInfo! totalCount: Int! }
type PullRequestEdge { cursor: String! node: PullRequest }
type PullRequest implements Node {
  id: ID! databaseId: DatabaseId fullDatabaseId: BigInt number: Int! title: String! body: String! url: URI! resourcePath: URI!
  state: PullRequestState! author: Actor repository: Repository! authorAssociation: String!
  createdAt: DateTime! updatedAt: DateTime! closedAt: DateTime mergedAt: DateTime lastEditedAt: DateTime
  additions: Int! deletions: Int! changedFiles: Int! isDraft: Boolean! closed: Boolean! merged: Boolean! mergedBy: Actor
  isCrossRepository: Boolean! locked: Boolean! totalCommentsCount: Int
  mergeCommit: Commit baseRefName: String! baseRefOid: GitObjectID! headRefName: String! headRefOid: GitObjectID!
  headRepository: Repository headRepositoryOwner: RepositoryOwner
  labels(first: Int, after: String, last: Int, before: String): LabelConnection
  comments(first: Int, after: String, last: Int, before: String): IssueCommentConnection!
  commits(first: Int, after: String, last: Int, before: String): PullRequestCommitConnection!
  reviews(first: Int, after: String, last: Int, before: String, states: [PullRequestReviewState!], author: String):
    PullRequestReviewConnection
}
type LabelConnection { edges: [LabelEdge] nodes: [Label] pageInfo: PageInfo! totalCount: Int! }
type LabelEdge { cursor: String! node: Label }
type Label implements Node { id: ID! name: String! color: String! description: String isDefault: Boolean! }
type IssueCommentConnection { edges: [IssueCommentEdge] nodes: [IssueComment] pageInfo: PageInfo! totalCount: Int! }
type IssueCommentEdge { cursor: String! node: IssueComment }
type IssueComment implements Node {
  id: ID! databaseId: DatabaseId fullDatabaseId: BigInt body: String! url: URI! author: Actor authorAssociation: String!
  createdAt: DateTime! updatedAt: DateTime! lastEditedAt: DateTime
}
type PullRequestCommitConnection {
  edges: [PullRequestCommitEdge] nodes: [PullRequestCommit] pageInfo: PageInfo! totalCount: Int!
}
type PullRequestCommitEdge { cursor: String! node: PullRequestCommit }
type PullRequestCommit implements Node { id: ID! url: URI! commit: Commit! }
type Commit implements Node {
  id: ID! oid: GitObjectID! abbreviatedOid: String! message: String! messageHeadline: String! messageBody: String!
  committedDate: DateTime! authoredDate: DateTime! url: URI! commitUrl: URI! author: GitActor committer: GitActor
  authors(first: Int, after: String, last: Int, before: String): GitActorConnection!
  additions: Int! deletions: Int! changedFilesIfAvailable: Int committedViaWeb: Boolean!
}
type GitActor { name: String email: String date: String user: User avatarUrl: URI! }
type GitActorConnection { edges: [GitActorEdge] nodes: [GitActor] pageInfo: PageInfo! totalCount: Int! }
type GitActorEdge { cursor: String! node: GitActor }
type PullRequestReviewConnection {
  edges: [PullRequestReviewEdge] nodes: [PullRequestReview] pageInfo: PageInfo! totalCount: Int!
}
type PullRequestReviewEdge { cursor: String! node: PullRequestReview }
type PullRequestReview implements Node {
  id: ID! databaseId: DatabaseId fullDatabaseId: BigInt state: PullRequestReviewState! body: String! url: URI! author: Actor
  authorAssociation: String! submittedAt: DateTime createdAt: DateTime! updatedAt: DateTime! lastEditedAt: DateTime commit: Commit
  comments(first: Int, after: String, last: Int, before: String): PullRequestReviewCommentConnection!
}
type PullRequestReviewCommentConnection {
  edges: [PullRequestReviewCommentEdge] nodes: [PullRequestReviewComment] pageInfo: PageInfo! totalCount: Int!
}
type PullRequestReviewCommentEdge { cursor: String! node: PullRequestReviewComment }
type PullRequestReviewComment implements Node {
  id: ID! databaseId: DatabaseId fullDatabaseId: BigInt body: String! url: URI! author: Actor authorAssociation: String!
  createdAt: DateTime! updatedAt: DateTime! path: String! position: Int line: Int originalLine: Int diffHunk: String!
  commit: Commit originalCommit: Commit
}
'''
